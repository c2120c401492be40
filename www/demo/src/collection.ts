// The collection that lies on the table at the start, and queries to try on it. Origins and licences of the
// pictures: samples/LICENCES.md. The texts and queries, and the names of the photographs, were written for this page.

export const LANGUAGES = [
  ['en', 'English'], ['de', 'Deutsch'], ['fr', 'Français'], ['es', 'Español'], ['ja', '日本語'], ['zh', '中文'], ['ar', 'العربية'], ['hi', 'हिन्दी'],
] as const;
export type Language = (typeof LANGUAGES)[number][0];

interface Picture { file: string; title: string; /** What it shows, in the other languages: found by keyword. */ names: readonly string[] }

const PICTURES: readonly Picture[] = [
  { file: 'cat.jpg', title: 'Chelsea the cat', names: ['Katze', 'chat', 'gato', '猫', '猫咪', 'قطة', 'बिल्ली'] },
  { file: 'rocket.jpg', title: 'Falcon 9 rocket on the pad', names: ['Rakete', 'fusée', 'cohete', 'ロケット', '火箭', 'صاروخ', 'रॉकेट'] },
  { file: 'coffee.jpg', title: 'A cup of coffee', names: ['Tasse Kaffee Espresso', 'tasse de café', 'taza de café', 'コーヒー', '咖啡', 'قهوة', 'कॉफ़ी'] },
  { file: 'astronaut.jpg', title: 'Eileen Collins, astronaut', names: ['Astronautin', 'astronaute', 'astronauta', '宇宙飛行士', '宇航员', 'رائدة فضاء', 'अंतरिक्ष यात्री'] },
  { file: 'hubble-deep-field.jpg', title: 'Hubble deep field, galaxies', names: ['Galaxien', 'galaxies', 'galaxias', '銀河', '星系', 'مجرات', 'आकाशगंगा'] },
  { file: 'horse.jpg', title: 'A horse', names: ['Pferd', 'cheval', 'caballo', '馬', '马', 'حصان', 'घोड़ा'] },
  { file: 'bicycle.png', title: 'Bicycle', names: ['Fahrrad', 'vélo', 'bicicleta', '自転車', '自行车', 'دراجة', 'साइकिल'] },
  { file: 'penguin.png', title: 'Penguin', names: ['Pinguin', 'manchot', 'pingüino', 'ペンギン', '企鹅', 'بطريق', 'पेंगुइन'] },
  { file: 'sailboat.png', title: 'Sailing boat', names: ['Segelboot', 'voilier', 'velero', 'ヨット', '帆船', 'قارب شراعي', 'नौका'] },
  // Drawings, with their names in Unicode's CLDR: what the small trained model knows best.
  { file: 'smiling-face-with-smiling-eyes.png', title: 'A happy face', names: ['lächelndes Gesicht mit lachenden Augen', 'visage souriant avec yeux rieurs', 'cara feliz con ojos sonrientes', 'にこにこ', '羞涩微笑', 'وجه باسم بعينين باسمتين', 'मुस्काती आँखों वाला मुस्काता चेहरा'] },
  { file: 'dog-face.png', title: 'Dog', names: ['Hundegesicht', 'tête de chien', 'cara de perro', 'イヌの顔', '狗脸', 'وجه كلب', 'कुत्ते का चेहरा'] },
  { file: 'octopus.png', title: 'Octopus', names: ['Oktopus', 'pieuvre', 'pulpo', 'タコ', '章鱼', 'أخطبوط', 'ऑक्टोपस'] },
  { file: 'butterfly.png', title: 'Butterfly', names: ['Schmetterling', 'papillon', 'mariposa', 'チョウ', '蝴蝶', 'فراشة', 'तितली'] },
  { file: 'gear.png', title: 'Gear', names: ['Zahnrad', 'roue dentée', 'engranaje', '歯車', '齿轮', 'ترس', 'गियर'] },
  { file: 'robot.png', title: 'Robot', names: ['Roboter', 'robot', 'robot', 'ロボット', '机器人', 'وجه روبوت', 'रोबोट चेहरा'] },
  { file: 'factory.png', title: 'Factory', names: ['Fabrik', 'usine', 'fábrica', '工場', '工厂', 'مصنع', 'फ़ैक्टरी, कारखाना'] },
  { file: 'guitar.png', title: 'Guitar', names: ['Gitarre', 'guitare', 'guitarra', 'ギター', '吉他', 'غيتار', 'गिटार'] },
  { file: 'house.png', title: 'House', names: ['Haus', 'maison', 'casa', '家', '房子', 'منزل', 'घर, भवन'] },
  { file: 'birthday-cake.png', title: 'Birthday cake', names: ['Geburtstagskuchen', 'gâteau d’anniversaire', 'tarta de cumpleaños', 'バースデーケーキ', '生日蛋糕', 'كعكة عيد ميلاد', 'जन्मदिन का केक'] },
  { file: 'strawberry.png', title: 'Strawberry', names: ['Erdbeere', 'fraise', 'fresa', 'いちご', '草莓', 'فراولة', 'स्ट्रॉबेरी'] },
  { file: 'umbrella-with-rain-drops.png', title: 'Umbrella in the rain', names: ['Regenschirm im Regen', 'parapluie avec gouttes de pluie', 'paraguas con gotas de lluvia', '傘と雨', '雨伞', 'شمسية وقطرات مطر', 'पानी से भीगा छाता'] },
  { file: 'volcano.png', title: 'Volcano', names: ['Vulkan', 'volcan', 'volcán', '火山', '火山', 'بركان', 'ज्वालामुखी'] },
];

const PASSAGES: ReadonlyArray<readonly [language: string, text: string]> = [
  ['en', 'A cat sleeps for twelve to sixteen hours a day, most of it lightly, with its ears still turning towards every sound.'],
  ['en', 'Espresso is made by pressing nearly boiling water through finely ground coffee at about nine bars.'],
  ['de', 'Die Rakete steht vor Sonnenaufgang betankt auf der Rampe, nur die Scheinwerfer sind an.'],
  ['en', 'The Hubble Space Telescope looked at one small patch of sky for weeks and found thousands of galaxies in it.'],
  ['fr', 'Un vélo bien réglé ne fait presque aucun bruit, à part le cliquetis de la roue libre.'],
  ['en', 'Penguins cannot fly through air, but under water they use their wings exactly as other birds do.'],
  ['en', 'Roman and Greek coins carried the portrait of whoever had them struck, so that every purchase was also an announcement.'],
  ['ja', '頤和園は北京の北西にある庭園で、湖と丘と長い回廊で知られている。'],
  ['en', 'To sail against the wind a boat takes a zigzag course, each leg at about forty-five degrees to where the wind comes from.'],
  ['es', 'El caballo puede dormir de pie, porque sus patas se bloquean sin esfuerzo muscular.'],
  ['en', 'A film camera on a tripod needs a fluid head if the picture is to turn without a jerk.'],
  ['en', 'fn mean(xs: &[f32]) -> f32 { xs.iter().sum::<f32>() / xs.len() as f32 }'],
  ['de', 'Eine Katze schläft zwölf bis sechzehn Stunden am Tag, und selbst im Schlaf drehen sich ihre Ohren nach jedem Geräusch.'],
  ['zh', '企鹅不会飞，但它们在水下挥动翅膀的样子，和别的鸟在空中飞行时一模一样。'],
  ['ja', '猫は一日の大半を眠って過ごすが、耳だけはいつも物音のほうを向いている。'],
  ['fr', 'Un bon café perd la moitié de son parfum dans le quart d’heure qui suit la mouture.'],
  ['ar', 'القهوة العربية تُشرب في فناجين صغيرة، وتُحمَّص حبوبها تحميصاً خفيفاً مع الهيل.'],
  ['hi', 'साइकिल चलाते समय संतुलन हाथों से नहीं, आगे के पहिये की दिशा से बनता है।'],
  ['es', 'La bicicleta es la máquina más eficiente que se conoce para mover a una persona.'],
  ['zh', '帆船逆风航行时要走之字形，每一段都与风向成大约四十五度角。'],
];

export interface Sample { kind: 'picture' | 'passage'; name: string; body: Blob; language?: string; names?: readonly string[] }

/** Pictures and passages in turns. A picture that cannot be fetched is left out. */
export async function samples(): Promise<Sample[]> {
  const files = await Promise.all(PICTURES.map(async ({ file }) => {
    const response = await fetch(`samples/${file}`).catch(() => undefined);
    return response?.ok ? response.blob() : undefined;
  }));
  const laid: Sample[] = [];
  for (let i = 0; i < Math.max(PICTURES.length, PASSAGES.length); i++) {
    const body = files[i], picture = PICTURES[i], passage = PASSAGES[i];
    if (body && picture) laid.push({ kind: 'picture', name: picture.title, body, names: picture.names });
    if (passage) laid.push({ kind: 'passage', name: '', body: new Blob([passage[1]], { type: 'text/plain' }), language: passage[0] });
  }
  return laid;
}

export const QUERIES: Readonly<Record<Language, readonly string[]>> = {
  en: ['a sleeping cat', 'cup of coffee', 'sailing against the wind', 'galaxies'],
  de: ['schlafende Katze', 'Tasse Kaffee', 'Rakete vor dem Start', 'Segelboot'],
  fr: ['un chat', 'le parfum du café', 'vélo', 'galaxies'],
  es: ['caballo', 'taza de café', 'bicicleta', 'monedas antiguas'],
  ja: ['猫', 'コーヒー', '北京の庭園', 'ペンギン'],
  zh: ['企鹅', '帆船', '咖啡', '颐和园'],
  ar: ['قهوة', 'قطة', 'صاروخ', 'حصان'],
  hi: ['बिल्ली', 'साइकिल', 'घोड़ा', 'सिक्के'],
};
